package main

import "syscall"

// sysFstatat is the call that fills a syscall.Stat_t from a folder and a name.
const sysFstatat = syscall.SYS_FSTATAT
