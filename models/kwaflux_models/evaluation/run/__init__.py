"""Run effects and peers over the test set."""
