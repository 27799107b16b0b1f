"""What the tests of every package share: builders of odd pictures, and typed fakes."""
