"""HTTP: the web service that receives events."""
