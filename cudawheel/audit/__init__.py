"""What a wheel or shared object really carries, and coded checks of it that return violations and never print."""
