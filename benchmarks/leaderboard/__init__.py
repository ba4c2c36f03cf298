"""The leaderboard: suite, episodes, summary, report, by one path for all environments."""
