"""The job store on MongoDB, by either of two drivers."""
