"""What a user would pick instead, each as a program of its own that prints how many rows it got."""
