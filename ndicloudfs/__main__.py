"""``python -m ndicloudfs``."""

from ndicloudfs.cli import main

if __name__ == "__main__":
    main()
