"""`sagemaker-inference dev`: servers of a program, one after the other, behind one port."""
