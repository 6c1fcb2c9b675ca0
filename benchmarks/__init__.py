"""What imbot costs, beside yardsticks that are measured in the same run; ``make bench``."""
