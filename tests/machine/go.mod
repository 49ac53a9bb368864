module becket.dev/tests/machine

go 1.26.0
