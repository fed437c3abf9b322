"""Is the switching rule right? Choices of the soft and the plain landscape, tried out where a trained policy goes.

`subject` is a trained policy with its landscapes, `trials` tries their choices out, `study` does both for one run,
`scores` says how well similarity foretells what is earned, and `figure` draws all of it.
"""
