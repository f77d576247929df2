"""The domain, ports, adapters and settings that every part of the job queue shares."""
