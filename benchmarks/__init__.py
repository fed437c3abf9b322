"""What is measured, and against whom; results lie in `results/`, with the machine they were measured on."""

from maxent_jax import devices

devices.one_a_core()  # as the command line begins
