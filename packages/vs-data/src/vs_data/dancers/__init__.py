"""A procedural world of dancers: people that one seed decides, in dances that another one does."""
