"""Data Processing: Hadoop clusters made of servers, and jobs on them, through Sahara's APIs v1.1 and v2."""
