"""The rules of Linux, one module per kernel file: plain functions on the state arrays, without clock or I/O."""
