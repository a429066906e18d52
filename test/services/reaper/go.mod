module tool-executor/test-reaper

go 1.24
