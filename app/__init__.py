"""The dashboard: Streamlit pages over fssd_core. Views hold widgets, figures are pure, the core computes."""
