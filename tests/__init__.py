"""Tests: unit mirrors the packages; contract, integration and e2e go through more and more of the house."""
