"""A spreadsheet that follows the local book: over the real client, on a double of the API."""
