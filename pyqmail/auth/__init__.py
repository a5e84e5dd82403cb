"""Who may log in: the checkpassword interface and the places where passwords are kept."""
