from django import forms

from .models import Profile


class ProfileForm(forms.ModelForm):
    """What users may change in their own profile."""

    class Meta:
        model = Profile
        fields = ("display_name", "biography", "website")
        widgets = {"biography": forms.Textarea(attrs={"rows": 5})}
