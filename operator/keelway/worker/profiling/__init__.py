"""The profile of a table, in two passes over its rows.

The first pass (`survey`) counts: values, distinct values, smallest and largest, mean, and a sample of each column.
The sample tells where bins should lie and which texts may be frequent; how many rows each bin and each text has is
counted by the second pass (`tally`), and is exact. The same files give the same profile: no number in it hangs on a
lot or on the order in which threads meet.
"""
