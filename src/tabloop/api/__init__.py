"""What `import tabloop` offers: frames in, frames out, runs and models that a notebook shows."""
