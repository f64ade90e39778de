"""What must hold: of the tables (`quality`) and of the models (`skill`)."""
