"""What a user would pick instead, each as a program of its own that prints its rows and its memory in MB."""
