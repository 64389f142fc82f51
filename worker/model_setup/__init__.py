"""Builds the model folders that engines load, from weights that a package registry delivers.

This happens once per machine: find the weights, read them safely, build and optimise the networks, and compile the
engines' loops. A worker that runs jobs never imports this package.
"""
