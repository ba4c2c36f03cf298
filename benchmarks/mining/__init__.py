"""Mining suites: policies that mine images of one class, compared class by class."""
