"""The parts of real_models.py: what is downloaded, how its weights are read, and what each is compared with."""
