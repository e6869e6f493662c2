"""Gates, verdict, pointer, rollback: how a run goes live and back."""
