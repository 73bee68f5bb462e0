"""The multiprocessing pool that every call goes through."""
