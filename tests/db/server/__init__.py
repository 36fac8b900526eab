"""What happens to the copy of a book on a server when servers, networks and processes fail: all on real servers."""
