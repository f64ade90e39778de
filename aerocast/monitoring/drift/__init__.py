"""Has the world changed: tests on errors, columns and sensors, one diagnosis from them, and how it turns into heat."""
