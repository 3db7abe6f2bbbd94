"""Browser-side pieces: each ships its JavaScript and CSS, takes its data once as raw bytes and computes in the page."""
