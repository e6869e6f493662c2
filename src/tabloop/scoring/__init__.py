"""Whole tables and streams of events through the champion."""
