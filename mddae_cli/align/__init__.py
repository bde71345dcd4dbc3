"""Faces in photographs: where they are, brought to CelebA's template, and put back changed."""
