"""Replays what others say they have played: it proves arithmetic, not honesty."""
