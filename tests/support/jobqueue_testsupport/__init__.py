"""What tests share: servers on this machine, fixtures, and factories of jobs."""
