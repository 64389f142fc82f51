"""What a file says of itself before anything is decoded."""
