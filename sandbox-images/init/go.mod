module sandbox-init

go 1.26
