"""The caller's side: methods, options, arguments, functions, and the problem that they make."""
