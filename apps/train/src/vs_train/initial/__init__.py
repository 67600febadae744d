"""`data:init`: data that nobody has described becomes a configuration that trains."""
