"""What tests need and the package does not."""
