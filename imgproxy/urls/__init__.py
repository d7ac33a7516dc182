"""The front doors: each turns the URLs of one dialect into ImageRequests, and back. What is behind them never sees a URL."""
