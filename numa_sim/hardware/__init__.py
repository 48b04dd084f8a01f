"""What runs between two events: the access loop, TLBs, page walks, memory controllers and links."""
