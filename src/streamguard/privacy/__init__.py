"""Personal data: what is masked or replaced by tokens before anything is stored."""
