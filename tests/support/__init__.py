"""What several test modules share: networks, data, results and clusters that they make."""
