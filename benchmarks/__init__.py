"""What is measured, and against whom; results lie in `results/`, with the machine they were measured on."""
