"""An app with jobs, installed only while the tests of this module run."""
