"""Pictures for papers, each of one section of the leaderboard or of several."""
