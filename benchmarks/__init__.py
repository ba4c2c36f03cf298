"""The leaderboard: policies on a suite of seeds, compared in pairs. Runs from a checkout."""
