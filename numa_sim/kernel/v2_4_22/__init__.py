"""What Linux 2.4.16 to 2.4.22 did otherwise than 2.4.37: summed watermarks, reclaim by priority."""
