"""Folders of files, on this machine or in object storage, behind one face."""
